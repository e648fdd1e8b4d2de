// SPDX-License-Identifier: GPL-2.0
/* Spin locks that live inside C structures. */

#include <linux/export.h>
#include <linux/spinlock.h>

#include "helpers.h"

void rust_ext_spin_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}
EXPORT_SYMBOL_GPL(rust_ext_spin_lock_init);

unsigned long rust_ext_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}
EXPORT_SYMBOL_GPL(rust_ext_spin_lock_irqsave);

void rust_ext_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}
EXPORT_SYMBOL_GPL(rust_ext_spin_unlock_irqrestore);
