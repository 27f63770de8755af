// What people look for with Coccinelle: a ->d_release() that frees at once. It proves nothing.
// SPDX-License-Identifier: GPL-2.0-only
@table@
identifier ops, release;
@@
struct dentry_operations ops = {
	.d_release = release,
};

@frees@
identifier table.release;
expression E;
@@
release(...)
{
	<+...
(
*	kfree(E)
|
*	kvfree(E)
|
*	kmem_cache_free(..., E)
)
	...+>
}
