// SPDX-License-Identifier: GPL-2.0
/* Work items that live inside Rust structures and are waited for. */

#include <linux/export.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* Swapping may wait for what is done here. */
static struct workqueue_struct *queue;

int rust_ext_workqueue_create(void)
{
	queue = alloc_workqueue("virtio", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return queue ? 0 : -ENOMEM;
}

void rust_ext_workqueue_destroy(void)
{
	destroy_workqueue(queue);
}

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
	return queue_delayed_work(queue, work, msecs_to_jiffies(msecs));
}
EXPORT_SYMBOL_GPL(rust_ext_schedule_delayed_work);

bool rust_ext_schedule_work(struct work_struct *work)
{
	return queue_work(queue, work);
}
EXPORT_SYMBOL_GPL(rust_ext_schedule_work);
