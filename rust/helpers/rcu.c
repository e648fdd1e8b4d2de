// SPDX-License-Identifier: GPL-2.0
/* Grace periods that are not functions in every configuration. */

#include <linux/export.h>
#include <linux/rcupdate.h>

#include "helpers.h"

/*
 * Sleeps until every task has given its CPU up of its own will, or been in user
 * space; without CONFIG_TASKS_RCU, an ordinary grace period, which misses those that
 * were preempted.
 */
void rust_ext_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}
EXPORT_SYMBOL_GPL(rust_ext_synchronize_rcu_tasks);
