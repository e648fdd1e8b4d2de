// SPDX-License-Identifier: GPL-2.0
/* Work items that live inside Rust structures and are waited for. */

#include <linux/export.h>
#include <linux/workqueue.h>

#include "helpers.h"

void rust_ext_init_work(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}
EXPORT_SYMBOL_GPL(rust_ext_init_work);

void rust_ext_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}
EXPORT_SYMBOL_GPL(rust_ext_init_delayed_work);

bool rust_ext_schedule_delayed_work(struct delayed_work *work, unsigned int msecs)
{
	return schedule_delayed_work(work, msecs_to_jiffies(msecs));
}
EXPORT_SYMBOL_GPL(rust_ext_schedule_delayed_work);

bool rust_ext_schedule_work(struct work_struct *work)
{
	return schedule_work(work);
}
EXPORT_SYMBOL_GPL(rust_ext_schedule_work);
