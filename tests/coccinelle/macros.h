/* Macros that Coccinelle cannot parse a call of, as something of the same syntax. */
#define typeof_member(type, member) long
#define scoped_seqlock_read(lock, how) while (1)
#define for_each_vma(iterator, vma) while (1)
#define GENRADIX(type) struct genradix
