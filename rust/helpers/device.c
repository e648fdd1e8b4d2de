// SPDX-License-Identifier: GPL-2.0
/* The lock of the driver core. */

#include <linux/device.h>
#include <linux/export.h>

#include "helpers.h"

void rust_ext_device_lock(struct device *dev)
{
	device_lock(dev);
}
EXPORT_SYMBOL_GPL(rust_ext_device_lock);

void rust_ext_device_unlock(struct device *dev)
{
	device_unlock(dev);
}
EXPORT_SYMBOL_GPL(rust_ext_device_unlock);
