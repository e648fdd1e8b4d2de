// SPDX-License-Identifier: GPL-2.0
/* Allocators of numbers in static memory of Rust. */

#include <linux/export.h>
#include <linux/idr.h>
#include <linux/mutex.h>

#include "helpers.h"

/* Initialises @ida unless *@ready says that it is; both lie in static memory. */
void rust_ext_ida_init_once(struct ida *ida, u32 *ready)
{
	static DEFINE_MUTEX(lock);

	guard(mutex)(&lock);
	if (!*ready) {
		ida_init(ida);
		/* Pairs with the load-acquire of those who find it initialised. */
		smp_store_release(ready, 1);
	}
}
EXPORT_SYMBOL_GPL(rust_ext_ida_init_once);
