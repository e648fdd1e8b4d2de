// SPDX-License-Identifier: GPL-2.0
/* Pages of an exact size, and their physical addresses. */

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/io.h>

#include "helpers.h"

void *rust_ext_alloc_pages_exact(size_t size, gfp_t gfp)
{
	return alloc_pages_exact(size, gfp);
}
EXPORT_SYMBOL_GPL(rust_ext_alloc_pages_exact);

void rust_ext_free_pages_exact(void *virt, size_t size)
{
	free_pages_exact(virt, size);
}
EXPORT_SYMBOL_GPL(rust_ext_free_pages_exact);

phys_addr_t rust_ext_virt_to_phys(const void *virt)
{
	return virt_to_phys((void *)virt);
}
EXPORT_SYMBOL_GPL(rust_ext_virt_to_phys);
