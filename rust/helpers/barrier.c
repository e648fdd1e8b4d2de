// SPDX-License-Identifier: GPL-2.0
/*
 * Barriers against another CPU of the host, also in a kernel built for one CPU,
 * where those of the kernel crate order the compiler only.
 */

#include <linux/export.h>
#include <asm/barrier.h>

#include "helpers.h"

void rust_ext_virt_mb(void)
{
	virt_mb();
}
EXPORT_SYMBOL_GPL(rust_ext_virt_mb);

void rust_ext_virt_rmb(void)
{
	virt_rmb();
}
EXPORT_SYMBOL_GPL(rust_ext_virt_rmb);

void rust_ext_virt_wmb(void)
{
	virt_wmb();
}
EXPORT_SYMBOL_GPL(rust_ext_virt_wmb);
