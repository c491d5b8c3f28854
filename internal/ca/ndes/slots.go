package ndes

import "chancery/internal/ca"

// SlotOrder implements ca.Slotted.
func (c *Connector) SlotOrder() ca.SlotOrder {
	if c.page == nil {
		return ca.SlotOrder{}
	}
	return c.page.order()
}
