// Marks every initialised struct dentry_operations, an array of them too, and each member = function.
@@
identifier t, member;
expression e;
@@
 struct dentry_operations t = { ...,
- .member = e
+ .member = slot_found(t, member, e)
 ,...};

@@
identifier t, member;
expression e;
@@
 struct dentry_operations t[...] = { ..., { ...,
- .member = e
+ .member = slot_found(t, member, e)
 ,...}, ...};

@@
identifier t;
fresh identifier g = "table_found_" ## t;
@@
 struct dentry_operations
- t
+ g
 = { ... };

@@
identifier t;
fresh identifier g = "table_found_" ## t;
@@
 struct dentry_operations
- t
+ g
 [...] = { ... };
