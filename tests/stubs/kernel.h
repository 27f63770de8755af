/*
 * As much of a kernel as the fixtures need in order to run. Functions are in runtime.c, which is not
 * instrumented: each writes down what it does to which object, with the address that it was called from.
 */
#ifndef STUBS_KERNEL_H
#define STUBS_KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

typedef unsigned int gfp_t;
typedef unsigned short umode_t;
typedef long loff_t;
typedef unsigned short stub_wide;
#define wchar_t stub_wide

#define GFP_KERNEL 1u
#define GFP_ATOMIC 2u
#define GFP_NOWAIT 4u
#define LOOKUP_FOLLOW 1
#define LOOKUP_RCU 0x100
#define MAY_NOT_BLOCK 0x80
#define DCACHE_REFERENCED 4
#define DCACHE_OP_REVALIDATE 8
#define SB_SILENT 1
#define jiffies 1000UL
#define HZ 100

#define __rcu
#define __init
#define __user
#define __maybe_unused __attribute__((unused))
#define fallthrough __attribute__((fallthrough))
#define likely(x) (x)
#define unlikely(x) (x)
#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define smp_load_acquire(place) READ_ONCE(*(place))
#define smp_store_release(place, value) WRITE_ONCE(*(place), value)
#define smp_rmb() __asm__ volatile("" : : : "memory")
#define smp_wmb() __asm__ volatile("" : : : "memory")
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define rcu_dereference(x) READ_ONCE(x)
#define rcu_assign_pointer(x, value) WRITE_ONCE(x, value)
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define from_timer(variable, timer, member) container_of(timer, __typeof__(*variable), member)
#define ERR_PTR(error) ((void *)(long)(error))
#define PTR_ERR(pointer) ((long)(pointer))
#define IS_ERR(pointer) ((unsigned long)(pointer) >= (unsigned long)-4095)

typedef struct { int held; } spinlock_t;
typedef struct { int count; } refcount_t;
typedef struct { int count; } atomic_t;
struct mutex { int held; };
struct kref { refcount_t refcount; };
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct rcu_head { void *next; void (*func)(struct rcu_head *head); };
struct srcu_struct { int idx; };
struct work_struct { long data; void (*func)(struct work_struct *work); };
struct rcu_work { struct work_struct work; struct rcu_head rcu; };
struct timer_list { long expires; void (*function)(struct timer_list *timer); };
struct nls_table {
	int (*uni2char)(unsigned short wide, unsigned char *out, int room);
	int (*char2uni)(const unsigned char *raw, int room, unsigned short *wide);
};
struct cred { unsigned int securebits; };
struct pid { unsigned int level; };
struct group_info { int ngroups; };
struct posix_acl;
struct key;
struct fid;
struct backing_dev_info;
struct kmem_cache;
struct vfsmount;
struct mnt_idmap;
struct delayed_call;
struct dentry_operations;
struct workqueue_struct;
struct fscache_cookie;

struct qstr {
	unsigned int hash;
	unsigned int len;
	const unsigned char *name;
};

struct dentry {
	unsigned int d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	spinlock_t d_lock;
	struct super_block *d_sb;
	unsigned long d_time;
	void *d_fsdata;
	const struct dentry_operations *d_op;
};

struct inode {
	unsigned int i_mode;
	unsigned int i_flags;
	spinlock_t i_lock;
	struct super_block *i_sb;
	void *i_private;
	char *i_link;
	struct posix_acl *i_acl;
	loff_t i_size;
	struct rcu_head i_rcu;
};

struct super_block {
	unsigned long s_flags;
	void *s_fs_info;
	struct backing_dev_info *s_bdi;
	const struct dentry_operations *s_d_op;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct dentry_operations {
	int (*d_revalidate)(struct dentry *, unsigned int);
	int (*d_weak_revalidate)(struct dentry *, unsigned int);
	int (*d_hash)(const struct dentry *, struct qstr *);
	int (*d_compare)(const struct dentry *, unsigned int, const char *, const struct qstr *);
	int (*d_delete)(const struct dentry *);
	void (*d_release)(struct dentry *);
	void (*d_prune)(struct dentry *);
	void (*d_iput)(struct dentry *, struct inode *);
	int (*d_manage)(const struct path *, bool);
};

struct inode_operations {
	struct dentry *(*lookup)(struct inode *, struct dentry *, unsigned int);
	int (*permission)(struct mnt_idmap *, struct inode *, int);
	const char *(*get_link)(struct dentry *, struct inode *, struct delayed_call *);
};

struct super_operations {
	void (*destroy_inode)(struct inode *);
	void (*free_inode)(struct inode *);
	void (*evict_inode)(struct inode *);
	void (*put_super)(struct super_block *);
};

struct file_system_type {
	const char *name;
	int (*fill)(struct super_block *);
	void (*kill_sb)(struct super_block *);
};

static inline struct inode *d_inode(const struct dentry *dentry)
{
	return dentry->d_inode;
}
static inline struct inode *d_inode_rcu(const struct dentry *dentry)
{
	return READ_ONCE(dentry->d_inode);
}
static inline bool d_really_is_positive(const struct dentry *dentry)
{
	return dentry->d_inode != NULL;
}

/* Locks, read-side sections, grace periods. */
#define DEFINE_SPINLOCK(name) spinlock_t name
#define DEFINE_MUTEX(name) struct mutex name
#define DEFINE_SRCU(name) struct srcu_struct name
void spin_lock(spinlock_t *lock);
int spin_trylock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
void mutex_lock(struct mutex *lock);
int mutex_trylock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
void rcu_read_lock(void);
void rcu_read_unlock(void);
void synchronize_rcu(void);
void synchronize_srcu(struct srcu_struct *domain);
void rcu_barrier(void);
void might_sleep(void);
void msleep(unsigned int ms);
void cpu_relax(void);

struct stub_guard { void *lock; };
struct stub_guard stub_guard_spinlock(spinlock_t *lock);
void stub_exit_spinlock(struct stub_guard *guard);
struct stub_guard stub_guard_mutex(struct mutex *lock);
void stub_exit_mutex(struct stub_guard *guard);
#define STUB_NAME(a, b) a##b
#define STUB_LINE(a, b) STUB_NAME(a, b)
#define guard(kind) \
	__attribute__((cleanup(stub_exit_##kind))) struct stub_guard STUB_LINE(guard, __LINE__) = stub_guard_##kind
void stub_free_kfree(void *pointer);
#define __free(kind) __attribute__((cleanup(stub_free_##kind)))

/* Memory. */
void *kmalloc(size_t size, gfp_t flags);
void *kzalloc(size_t size, gfp_t flags);
void *kmemdup(const void *from, size_t size, gfp_t flags);
#define default_gfp(...) (sizeof(#__VA_ARGS__) > 1 ? (__VA_ARGS__ + 0) : GFP_KERNEL)
void kfree(const void *pointer);
void kvfree(const void *pointer);
void vfree(const void *pointer);
void kmem_cache_free(struct kmem_cache *cache, void *pointer);
void free_inode_nonrcu(struct inode *inode);
void stub_free_later(const void *pointer);
#define kfree_rcu(pointer, ...) stub_free_later(pointer)
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *));
void call_srcu(struct srcu_struct *domain, struct rcu_head *head, void (*func)(struct rcu_head *));
void *stub_memcpy(void *to, const void *from, size_t size);
#define memcpy(to, from, size) stub_memcpy(to, from, size)
void *stub_memset(void *to, int value, size_t size);
#define memset(to, value, size) stub_memset(to, value, size)
void *memchr_inv(const void *at, int value, size_t size);
int memcmp(const void *one, const void *other, size_t size);
void *stub_xchg(void *cell, void *value);
#define xchg(cell, value) ((__typeof__(*(cell)))stub_xchg(cell, (void *)(value)))
int test_bit(long bit, const volatile void *word);
void clear_bit(long bit, volatile void *word);

/* Work that is done later. */
#define INIT_WORK(item, function) stub_init_work(item, function)
#define INIT_RCU_WORK(item, function) stub_init_work(&(item)->work, function)
#define timer_setup(timer, function, flags) stub_init_timer(timer, function)
void stub_init_work(struct work_struct *work, void (*func)(struct work_struct *));
void stub_init_timer(struct timer_list *timer, void (*function)(struct timer_list *));
bool schedule_work(struct work_struct *work);
bool queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work);
int mod_timer(struct timer_list *timer, unsigned long expires);
extern struct workqueue_struct *system_wq;

/* Counts. */
int kref_put(struct kref *ref, void (*release)(struct kref *));
bool refcount_dec_and_test(refcount_t *count);
bool refcount_dec_and_lock(refcount_t *count, spinlock_t *lock);
void put_cred(const struct cred *cred);
void put_pid(struct pid *pid);
void put_group_info(struct group_info *group);
void key_put(struct key *key);
void posix_acl_release(struct posix_acl *acl);
void iput(struct inode *inode);
void dput(struct dentry *dentry);
struct dentry *dget(struct dentry *dentry);
struct dentry *dget_parent(struct dentry *dentry);
void dget_dlock(struct dentry *dentry);

/* Lists: an iterator looks at the list and comes to some element of it, or to its
 * end; after two rounds to its end in any case. */
void *stub_next(const void *head);
#define list_for_each_entry(at, head, member, ...) \
	for (int stub_round = 0; (at = stub_round < 2 ? stub_next(head) : NULL); stub_round++)
#define list_for_each_entry_rcu(at, head, member, ...) list_for_each_entry(at, head, member)
#define list_for_each_entry_safe(at, next, head, member) list_for_each_entry(at, head, member)
#define hlist_for_each_entry_safe(at, next, head, member) list_for_each_entry(at, head, member)
#define LIST_HEAD(name) struct list_head name = {&name, &name}
#define INIT_LIST_HEAD(list) ((list)->next = (list)->prev = (list))
void list_splice_init(struct list_head *from, struct list_head *to);
void hlist_move_list(struct hlist_head *from, struct hlist_head *to);
int list_empty(const struct list_head *list);
void list_del(struct list_head *entry);
void list_del_rcu(struct list_head *entry);

/* The rest. */
unsigned int full_name_hash(const void *salt, const unsigned char *name, unsigned int len);
int tolower(int c);
loff_t i_size_read(const struct inode *inode);
void clear_inode(struct inode *inode);
int kstrtoint(const void *text, unsigned int base, int *value);
void kill_anon_super(struct super_block *sb);
void kill_block_super(struct super_block *sb);
int super_setup_bdi(struct super_block *sb);
void unload_nls(struct nls_table *nls);
void fscache_invalidate(void *cookie, const void *aux, long size, unsigned int flags);
void stub_print(const char *format, ...);
#define pr_debug(...) stub_print(__VA_ARGS__)
#define pr_info(...) stub_print(__VA_ARGS__)
#define pr_err(...) stub_print(__VA_ARGS__)

/* What fixtures use that is defined nowhere, so that the reader knows nothing of it: here it touches nothing and
 * returns whatever such a function can. */
static struct kmem_cache *toy_cache;
extern void *toy_last_info;
int toy_fetch(struct dentry *dentry, void *request);
int toy_complete(struct dentry *dentry, void *request);
int toy_check();
int toy_ask(void *holder);
int toy_is_locked(struct dentry *dentry);
int toy_gang_lookup(struct super_block *sb, void *found, int most);
void toy_retire(void *info);
void trace_toy(int value);

/* For functions that no run comes to; one that does fails. */
bool is_subdir(struct dentry *dentry, void *other);
struct dentry *exportfs_decode_fh(struct vfsmount *mnt, struct fid *fid, int length, int kind, void *accept, void *context);
struct dentry *lookup_one_len(const char *name, struct dentry *base, int length);
struct dentry *d_find_any_alias(struct inode *inode);
struct backing_dev_info *bdi_get(struct backing_dev_info *bdi);

/* For the driver: the roots of a run, and arguments that are chosen. */
extern struct dentry *root_dentry, *root_parent;
extern struct inode *root_inode, *root_dir;
extern struct super_block *root_sb;
extern struct path *root_path;
unsigned int stub_choose(unsigned int many);
void stub_setup(size_t where_inode);
int stub_main(int argc, char **argv, void (*const methods[])(void));

#endif
