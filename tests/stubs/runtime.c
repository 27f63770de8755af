/*
 * Runs a method of a fixture again and again, once for each sequence of choices, and writes down what each
 * run did. The fixture is compiled with -fsanitize=thread, whose hooks stand here in place of its library:
 * gcc calls one before every access to memory.
 *
 * Memory that another CPU could change is arbitrary: what a read of a tracked object yields is chosen when
 * it is read, NULL or a further object where a pointer fits, and a few numbers elsewhere. It stays what it is
 * while a lock is held, and once the run itself has written it.
 *
 * One line a step, separated by tabs: what, from where, object, offset, more. See execution.py.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#undef memcpy
#undef memset

#define HERE __builtin_return_address(0)
#define SLOT 8192L
#define FRONT 1024L
#define SLOTS 96
#define CHOICES 64
#define CELLS 256
#define STEPS 200

enum { FREE_SLOT, TRACKED, FRESH };

struct shared {
	int used;
	int choice[CHOICES], many[CHOICES];
};

struct cell {
	uintptr_t at;
	void *object;
	int epoch;
	bool fixed, written, seen;
};

struct dentry *root_dentry, *root_parent;
struct inode *root_inode, *root_dir;
struct super_block *root_sb;
struct path *root_path;
struct workqueue_struct *system_wq;

static struct shared *shared;
static unsigned char *arena;
static int kind[SLOTS], slots, cells, held, epoch;
static struct cell cell[CELLS];
static void *pending, *pending_from;
static int pending_size;

static void finish(const char *how)
{
	printf("%s\n", how);
	fflush(stdout);
	_exit(0);
}

unsigned int stub_choose(unsigned int many)
{
	int i = shared->used++;

	if (i >= CHOICES)
		finish("cut");
	shared->many[i] = many;
	return shared->choice[i];
}

static long slot_of(const void *at)
{
	const unsigned char *p = at;

	if (p < arena || p >= arena + SLOTS * SLOT)
		return -1;
	return (p - arena) / SLOT;
}

static void *object(int what)
{
	if (slots >= SLOTS)
		finish("cut");
	kind[slots] = what;
	unsigned char *made = arena + SLOT * slots++ + FRONT;
#ifdef __x86_64__
	memcpy(made, "\x31\xc0\xc3", 3); /* as a function it returns 0 */
#endif
	return made;
}

static void flush_write(void)
{
	static const unsigned char zero[256];
	void *at = pending;
	long to;

	if (!at)
		return;
	pending = NULL;
	to = slot_of(at);
	const char *value = "other";
	if (!memcmp(at, zero, pending_size < 256 ? pending_size : 256))
		value = "null";
	else if (pending_size == 8 && slot_of(*(void **)at) >= 0 && kind[slot_of(*(void **)at)] == FRESH)
		value = "new";
	printf("write\t%p\t%ld\t%ld\t%s\n", pending_from, to, (long)((unsigned char *)at - arena) % SLOT - FRONT, value);
}

/* One line about `at`: the number of its object, -1 for memory that is not tracked, -2 for NULL. */
static void step(const char *what, const void *from, const void *at, const char *more)
{
	static int steps;
	long number = slot_of(at);

	flush_write();
	if (++steps > STEPS)
		finish("cut");
	if (number >= 0 && kind[number] == FRESH)
		number = -3;
	if ((uintptr_t)at < 4096)
		printf("%s\t%p\t-2\t0\t%s\n", what, from, more);
	else if (number < 0)
		printf("%s\t%p\t%ld\t%p\t%s\n", what, from, number, at, more);
	else
		printf("%s\t%p\t%ld\t%ld\t%s\n", what, from, number, (long)((const unsigned char *)at - arena) % SLOT - FRONT, more);
}

static struct cell *cell_at(const void *at)
{
	for (int i = 0; i < cells; i++)
		if (cell[i].at == (uintptr_t)at)
			return &cell[i];
	if (cells == CELLS)
		finish("cut");
	cell[cells] = (struct cell){.at = (uintptr_t)at};
	return &cell[cells++];
}

static void *child(struct cell *c, const char *how)
{
	void *made = object(TRACKED);

	printf("new\t%ld\t%ld\t%ld\t%s\n", slot_of(made), slot_of((void *)c->at),
	       (long)(c->at - (uintptr_t)arena) % SLOT - FRONT, how);
	return made;
}

static void must_be(void *at, void *value)
{
	struct cell *c = cell_at(at);

	c->object = value;
	c->fixed = true;
	*(void **)at = value;
}

/* Chooses what `at` holds. */
static void settle(void *at, int size)
{
	static const unsigned long numbers[] = {0, 1, ~0UL};
	struct cell *c = cell_at(at);

	if (c->fixed || c->written || (c->seen && ((held && c->epoch == epoch) || !stub_choose(2))))
		return;
	c->seen = true;
	c->epoch = epoch;
	if (size == 8) {
		if (!c->object)
			c->object = child(c, "pointer");
		*(void **)at = stub_choose(2) ? c->object : NULL;
	} else if (size < 8) {
		unsigned long value = numbers[stub_choose(3)];

		memcpy(at, &value, size);
	}
}

static void accessed(void *at, int size, const void *from, bool write)
{
	if ((uintptr_t)at < 4096) {
		flush_write();
		finish("null");
	}
	long number = slot_of(at);

	if (number < 0)
		return;
	if (kind[number] != TRACKED)
		return;
	flush_write();
	if (write) {
		cell_at(at)->written = true;
		pending = at;
		pending_from = (void *)from;
		pending_size = size;
		return;
	}
	settle(at, size);
	bool null = true;
	for (int i = 0; i < size; i++)
		null = null && !((unsigned char *)at)[i];
	step("read", from, at, null ? "null" : "nonnull");
	if (size == 8 && slot_of(*(void **)at) >= 0)
		printf("new\t%ld\t%ld\t%ld\tpointer\n", slot_of(*(void **)at), number,
		       (long)((unsigned char *)at - arena) % SLOT - FRONT);
}

#define HOOKS(size) \
	void __tsan_read##size(void *at) { accessed(at, size, HERE, false); } \
	void __tsan_write##size(void *at) { accessed(at, size, HERE, true); } \
	void __tsan_unaligned_read##size(void *at) { accessed(at, size, HERE, false); } \
	void __tsan_unaligned_write##size(void *at) { accessed(at, size, HERE, true); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *at, size_t size) { accessed(at, size, HERE, false); }
void __tsan_write_range(void *at, size_t size) { accessed(at, size, HERE, true); }
void __tsan_vptr_update(void *at, void *value) { (void)at; (void)value; }
void __tsan_func_entry(void *from) { (void)from; }
void __tsan_func_exit(void) {}
void __tsan_init(void) {}

/* -- kernel functions ----------------------------------------------------------------------------- */

static void take(const void *lock, const void *from) { held++; epoch++; step("lock", from, lock, "exclusive"); }
static void drop(const void *lock, const void *from) { held--; epoch++; step("unlock", from, lock, ""); }
static void sleep_here(const void *from) { step("block", from, (void *)-1L, ""); }

void spin_lock(spinlock_t *lock) { take(lock, HERE); }
void spin_unlock(spinlock_t *lock) { drop(lock, HERE); }
int spin_trylock(spinlock_t *lock)
{
	if (!stub_choose(2))
		return 0;
	take(lock, HERE);
	return 1;
}
void mutex_lock(struct mutex *lock) { sleep_here(HERE); take(lock, HERE); }
void mutex_unlock(struct mutex *lock) { drop(lock, HERE); }
int mutex_trylock(struct mutex *lock)
{
	if (!stub_choose(2))
		return 0;
	take(lock, HERE);
	return 1;
}
struct stub_guard stub_guard_spinlock(spinlock_t *lock) { take(lock, HERE); return (struct stub_guard){lock}; }
void stub_exit_spinlock(struct stub_guard *guard) { drop(guard->lock, HERE); }
struct stub_guard stub_guard_mutex(struct mutex *lock)
{
	sleep_here(HERE);
	take(lock, HERE);
	return (struct stub_guard){lock};
}
void stub_exit_mutex(struct stub_guard *guard) { drop(guard->lock, HERE); }
void rcu_read_lock(void) { step("enter", HERE, (void *)-1L, ""); }
void rcu_read_unlock(void) { step("leave", HERE, (void *)-1L, ""); }
void synchronize_rcu(void) { step("wait", HERE, (void *)-1L, ""); sleep_here(HERE); }
void synchronize_srcu(struct srcu_struct *domain) { step("wait", HERE, domain, "srcu"); sleep_here(HERE); }
void rcu_barrier(void) { sleep_here(HERE); }
void might_sleep(void) { sleep_here(HERE); }
void msleep(unsigned int ms) { (void)ms; sleep_here(HERE); }
void cpu_relax(void) {}

static void *allocate(gfp_t flags, const void *from)
{
	if (flags & GFP_KERNEL)
		sleep_here(from);
	return stub_choose(2) ? object(FRESH) : NULL;
}
void *kmalloc(size_t size, gfp_t flags) { (void)size; return allocate(flags, HERE); }
void *kzalloc(size_t size, gfp_t flags) { (void)size; return allocate(flags, HERE); }
void kfree(const void *pointer) { step("free", HERE, pointer, ""); }
void kvfree(const void *pointer)
{
	step("free", HERE, pointer, "");
	sleep_here(HERE);
}
void vfree(const void *pointer)
{
	step("free", HERE, pointer, "");
	sleep_here(HERE);
}
void kmem_cache_free(struct kmem_cache *cache, void *pointer) { (void)cache; step("free", HERE, pointer, ""); }
void free_inode_nonrcu(struct inode *inode) { step("free", HERE, inode, ""); }
void stub_free_kfree(void *variable)
{
	void *pointer = *(void **)variable;

	if (pointer)
		step("free", HERE, pointer, "");
}
void unload_nls(struct nls_table *nls) { step("free", HERE, nls, ""); }

static void later(const char *how, const void *from, const void *what)
{
	step("defer", from, what, how);
	printf("then\n");
}
static void done(void) { flush_write(); printf("done\n"); }

void stub_free_later(const void *pointer)
{
	if (!pointer)
		return;
	later("rcu", HERE, pointer);
	step("free", HERE, pointer, "");
	done();
}

/* The kernel writes into the head at once, so that one below NULL ends the run here. */
static void run_later(const char *how, const void *from, struct rcu_head *head, void (*func)(struct rcu_head *))
{
	if (slot_of(head) < 0)
		finish("null");
	later(how, from, head);
	func(head);
	done();
}
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *)) { run_later("rcu", HERE, head, func); }
void call_srcu(struct srcu_struct *domain, struct rcu_head *head, void (*func)(struct rcu_head *))
{
	(void)domain;
	run_later("srcu", HERE, head, func);
}

/* What was set up before the method ran: the fixture's own toy_start() says which function it is. */
__attribute__((weak)) void toy_start(void *info);
static void (*work_function)(struct work_struct *);
static void (*timer_function)(struct timer_list *);
void stub_init_work(struct work_struct *work, void (*func)(struct work_struct *)) { (void)work; work_function = func; }
void stub_init_timer(struct timer_list *timer, void (*function)(struct timer_list *))
{
	(void)timer;
	timer_function = function;
}
static void queue(void *work, const void *from, const char *how)
{
	if (slot_of(work) < 0)
		finish("null");
	if (toy_start)
		toy_start(work);
	later(how, from, work);
	if (work_function)
		work_function(work);
	done();
}
bool schedule_work(struct work_struct *work) { queue(work, HERE, "work"); return true; }
bool queue_rcu_work(struct workqueue_struct *queue_, struct rcu_work *work)
{
	(void)queue_;
	queue(&work->work, HERE, "rcu");
	return true;
}
int mod_timer(struct timer_list *timer, unsigned long expires)
{
	(void)expires;
	if (slot_of(timer) < 0)
		finish("null");
	if (toy_start)
		toy_start(timer);
	later("work", HERE, timer);
	if (timer_function)
		timer_function(timer);
	done();
	return 1;
}

static bool last(const void *count)
{
	if (slot_of(count) < 0 && (uintptr_t)count < 4096)
		finish("null");
	return stub_choose(2);
}
int kref_put(struct kref *ref, void (*release)(struct kref *))
{
	if (!last(ref))
		return 0;
	release(ref);
	return 1;
}
bool refcount_dec_and_test(refcount_t *count) { return last(count); }
bool refcount_dec_and_lock(refcount_t *count, spinlock_t *lock)
{
	if (!last(count))
		return false;
	take(lock, HERE);
	return true;
}
static void put(const void *from, const void *what)
{
	if (what && stub_choose(2))
		step("free", from, what, "last");
}
void put_cred(const struct cred *cred)
{
	if (!cred || !stub_choose(2))
		return;
	later("rcu", HERE, cred);
	step("free", HERE, cred, "");
	done();
}
void put_pid(struct pid *pid) { put(HERE, pid); }
void iput(struct inode *inode) { sleep_here(HERE); step("put", HERE, inode, ""); }
void dput(struct dentry *dentry) { sleep_here(HERE); step("put", HERE, dentry, ""); }
struct dentry *dget_parent(struct dentry *dentry)
{
	step("read", HERE, dentry, "whole");
	step("get", HERE, dentry, "");
	return root_parent;
}
void dget_dlock(struct dentry *dentry) { step("get", HERE, dentry, ""); }

void *stub_next(const void *head)
{
	if (slot_of(head) < 0)
		finish("null");
	step("read", HERE, head, "list");
	if (!stub_choose(2))
		return NULL;
	return child(cell_at(head), "element");
}
void list_splice_init(struct list_head *from, struct list_head *to) { (void)from; (void)to; }
int list_empty(const struct list_head *list) { (void)list; return stub_choose(2); }
void list_del(struct list_head *entry) { (void)entry; }
void list_del_rcu(struct list_head *entry) { (void)entry; }

static void touch(void *at, size_t size, const void *from)
{
	if (slot_of(at) < 0)
		return;
	(void)size;
	step("read", from, at, "whole");
}
void *stub_memcpy(void *to, const void *from, size_t size)
{
	if ((uintptr_t)from < 4096 || (uintptr_t)to < 4096)
		finish("null");
	touch((void *)from, size, HERE);
	accessed(to, size, HERE, true);
	memcpy(to, from, size);
	return to;
}
void *stub_memset(void *to, int value, size_t size)
{
	accessed(to, size, HERE, true);
	memset(to, value, size);
	if (pending)
		step("note", HERE, (void *)-1L, "");
	return to;
}
void *stub_xchg(void *where, void *value)
{
	void *old;

	accessed(where, 8, HERE, false);
	old = *(void **)where;
	accessed(where, 8, HERE, true);
	*(void **)where = value;
	return old;
}
int test_bit(long bit, const volatile void *word)
{
	accessed((void *)word, 4, HERE, false);
	return *(const volatile unsigned int *)word >> bit & 1;
}
void clear_bit(long bit, volatile void *word)
{
	accessed((void *)word, 4, HERE, true);
	*(volatile unsigned int *)word |= 1u << 30;
	*(volatile unsigned int *)word &= ~(1u << bit);
}

unsigned int full_name_hash(const void *salt, const unsigned char *name, unsigned int len)
{
	(void)salt;
	(void)name;
	return len;
}
int kstrtoint(const void *text, unsigned int base, int *value)
{
	(void)text;
	(void)base;
	*value = stub_choose(2);
	return stub_choose(2) ? -EINVAL : 0;
}
void kill_anon_super(struct super_block *sb) { step("call", HERE, sb, "anon"); }
void kill_block_super(struct super_block *sb) { step("call", HERE, sb, "block"); }
int super_setup_bdi(struct super_block *sb) { (void)sb; return 0; }
void fscache_invalidate(void *cookie, const void *aux, long size, unsigned int flags)
{
	step("read", HERE, cookie, "whole");
	(void)aux;
	(void)size;
	(void)flags;
}
void stub_print(const char *format, ...) { (void)format; }

/* -- one process a run ---------------------------------------------------------------------------- */

void stub_setup(size_t where_inode)
{
	root_dentry = object(TRACKED);
	root_parent = object(TRACKED);
	root_inode = (struct inode *)((char *)object(TRACKED) + where_inode);
	root_dir = (struct inode *)((char *)object(TRACKED) + where_inode);
	root_sb = object(TRACKED);
	root_path = object(TRACKED);
	must_be(&root_dentry->d_parent, root_parent);
	must_be(&root_parent->d_parent, root_parent);
	must_be(&root_dentry->d_sb, root_sb);
	must_be(&root_parent->d_sb, root_sb);
	must_be(&root_inode->i_sb, root_sb);
	must_be(&root_dir->i_sb, root_sb);
	must_be(&root_path->dentry, root_dentry);
	cell_at(&root_dentry->d_inode)->object = root_inode;
	cell_at(&root_parent->d_inode)->object = root_dir;
}

static void crashed(int number)
{
	(void)number;
	flush_write();
	finish("crash");
}

static bool another(void)
{
	int i = shared->used < CHOICES ? shared->used : CHOICES;

	while (i-- > 0) {
		if (shared->choice[i] + 1 < shared->many[i]) {
			shared->choice[i]++;
			memset(&shared->choice[i + 1], 0, sizeof(int) * (CHOICES - i - 1));
			return true;
		}
	}
	return false;
}

/* METHOD MOST: runs the method with that number for at most so many sequences of choices. */
int stub_main(int argc, char **argv, void (*const methods[])(void))
{
	if (argc != 3)
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int left = atoi(argv[2]); left > 0; left--) {
		fflush(stdout);
		shared->used = 0;
		pid_t pid = fork();
		if (pid < 0)
			return 3;
		if (!pid) {
			alarm(10);
			arena = mmap((void *)0x200000000000, SLOTS * SLOT, PROT_READ | PROT_WRITE | PROT_EXEC,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (arena == MAP_FAILED)
				return 3;
			signal(SIGSEGV, crashed);
			signal(SIGILL, crashed);
			signal(SIGBUS, crashed);
			printf("run\n");
			methods[atoi(argv[1])]();
			flush_write();
			finish("end");
		}
		int status;
		waitpid(pid, &status, 0);
		if (status)
			return 4;
		if (!another()) {
			printf("all\n");
			return 0;
		}
	}
	printf("more\n");
	return 0;
}
