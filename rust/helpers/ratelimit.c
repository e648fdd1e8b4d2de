// SPDX-License-Identifier: GPL-2.0
/* Rate limits that live inside Rust structures. */

#include <linux/export.h>
#include <linux/ratelimit.h>

#include "helpers.h"

void rust_ext_ratelimit_init(struct ratelimit_state *state)
{
	ratelimit_default_init(state);
}
EXPORT_SYMBOL_GPL(rust_ext_ratelimit_init);
