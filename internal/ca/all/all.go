// Package all lists every kind of authority this program knows, in the order
// people choose from. A new kind is one line here. Nobody but the program's
// wiring imports it.
package all

import (
	"slices"
	"sync"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/ndes"
	"chancery/internal/ca/scep"
)

// kinds is made once, because a kind may keep what its connectors learn.
var kinds = sync.OnceValue(func() []ca.Kind {
	return []ca.Kind{
		embedded.Kind(),
		adcs.Kind(),
		ndes.Kind(),
		scep.Kind(),
	}
})

// Kinds lists the kinds in display order.
func Kinds() []ca.Kind { return slices.Clone(kinds()) }
