// SPDX-License-Identifier: GPL-2.0
/* Nodes of the device tree, which inline functions stand for in a kernel without it. */

#include <linux/device.h>
#include <linux/export.h>
#include <linux/of.h>

#include "helpers.h"

/**
 * rust_ext_of_get_child() - the node of a device that is described below another
 * @dev: the device whose node is the parent, if it has any
 * @compatible: what the child says that it is
 *
 * Return: the first such child that is available, with a reference; or NULL.
 */
struct device_node *rust_ext_of_get_child(struct device *dev, const char *compatible)
{
	struct device_node *child;

	for_each_available_child_of_node(dev_of_node(dev), child)
		if (of_device_is_compatible(child, compatible))
			return child;
	return NULL;
}
EXPORT_SYMBOL_GPL(rust_ext_of_get_child);

void rust_ext_of_node_put(struct device_node *node)
{
	of_node_put(node);
}
EXPORT_SYMBOL_GPL(rust_ext_of_node_put);
