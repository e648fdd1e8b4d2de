/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/pci_io.rs and rust/pci_irq.rs need of PCI that is inline in C. */
#ifndef _RUST_EXT_HELPERS_PCI_H
#define _RUST_EXT_HELPERS_PCI_H

#include <linux/interrupt.h>
#include <linux/pci.h>

unsigned long rust_ext_pci_resource_flags(struct pci_dev *pdev, int bar);

int rust_ext_pci_alloc_irq_vectors_affinity(struct pci_dev *pdev,
					    unsigned int min_vecs,
					    unsigned int max_vecs,
					    unsigned int flags,
					    struct irq_affinity *affinity);
const struct cpumask *rust_ext_pci_irq_get_affinity(struct pci_dev *pdev, int nr);
void rust_ext_pci_free_irq_vectors(struct pci_dev *pdev);
int rust_ext_pci_irq_vector(struct pci_dev *pdev, unsigned int nr);
bool rust_ext_pci_has_irq_vectors(struct pci_dev *pdev);
int rust_ext_irq_set_affinity_and_hint(unsigned int irq,
				       const struct cpumask *mask);

u8 rust_ext_ioread8(const void __iomem *addr);
u16 rust_ext_ioread16(const void __iomem *addr);
u32 rust_ext_ioread32(const void __iomem *addr);
void rust_ext_iowrite8(u8 value, void __iomem *addr);
void rust_ext_iowrite16(u16 value, void __iomem *addr);
void rust_ext_iowrite32(u32 value, void __iomem *addr);

#endif
