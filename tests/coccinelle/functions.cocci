// Marks the body of every function that is defined.
@@
identifier f;
statement list body;
@@
 f(...)
 {
+ function_found(f);
 body
 }
