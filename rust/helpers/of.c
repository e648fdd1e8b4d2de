// SPDX-License-Identifier: GPL-2.0
/* Calls of the device tree that are inline in a kernel without it. */

#include <linux/device.h>
#include <linux/export.h>
#include <linux/of.h>

#include "helpers.h"

/**
 * rust_ext_of_get_available_child() - the node of a device that is described below another
 * @dev: the device whose node is the parent, if it has any
 * @compatible: what the child says that it is
 *
 * Unlike of_get_compatible_child(), passes over nodes whose status is "disabled".
 *
 * Return: the first such child, with a reference; or NULL.
 */
struct device_node *rust_ext_of_get_available_child(struct device *dev, const char *compatible)
{
	struct device_node *child;

	for_each_available_child_of_node(dev_of_node(dev), child)
		if (of_device_is_compatible(child, compatible))
			return child;
	return NULL;
}
EXPORT_SYMBOL_GPL(rust_ext_of_get_available_child);

void rust_ext_of_node_put(struct device_node *node)
{
	of_node_put(node);
}
EXPORT_SYMBOL_GPL(rust_ext_of_node_put);
