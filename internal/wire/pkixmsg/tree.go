package pkixmsg

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Node is one element of a DER tree, for people to look at. Offsets and lengths
// are bytes of the input of Tree.
type Node struct {
	Offset    int    `json:"offset"`
	HeaderLen int    `json:"headerLen"`
	Length    int    `json:"length"` // of the contents
	Class     string `json:"class"`  // universal, application, context or private
	Tag       string `json:"tag"`    // SEQUENCE, UTF8String …; [3] for the other classes
	// Label is the element's role where the structure is known: subject,
	// extensions, dNSName; empty elsewhere.
	Label string `json:"label,omitempty"`
	OID   string `json:"oid,omitempty"`
	Name  string `json:"name,omitempty"` // of the OID, when it has one
	// Value sums up a primitive: text in quotation marks, numbers, times,
	// shortened hexadecimal for the rest.
	Value    string  `json:"value,omitempty"`
	Children []*Node `json:"children,omitempty"`

	tag   cbasn1.Tag
	body  []byte
	depth int
}

var universalNames = map[cbasn1.Tag]string{
	cbasn1.BOOLEAN: "BOOLEAN", cbasn1.INTEGER: "INTEGER", cbasn1.BIT_STRING: "BIT STRING",
	cbasn1.OCTET_STRING: "OCTET STRING", cbasn1.NULL: "NULL", cbasn1.OBJECT_IDENTIFIER: "OBJECT IDENTIFIER",
	cbasn1.ENUM: "ENUMERATED", cbasn1.UTF8String: "UTF8String", cbasn1.SEQUENCE: "SEQUENCE", cbasn1.SET: "SET",
	tagNumericString: "NumericString", cbasn1.PrintableString: "PrintableString", cbasn1.T61String: "T61String",
	cbasn1.IA5String: "IA5String", cbasn1.UTCTime: "UTCTime", cbasn1.GeneralizedTime: "GeneralizedTime",
	tagVisibleString: "VisibleString", cbasn1.GeneralString: "GeneralString",
	tagUniversalString: "UniversalString", tagBMPString: "BMPString",
}

// Tree takes DER apart, at most 1 MiB, 20,000 elements and 40 levels
// (ErrTooLarge beyond; ErrEncoding for anything that is not one DER element).
// The parts of certificates, requests and what they sign are labelled, extension
// values and RSA keys are opened, and alternative names are shown as text. The
// value of a challenge password is hidden.
func Tree(der []byte) (*Node, error) {
	if len(der) > MaxTreeBytes {
		return nil, tooLarge("input", MaxTreeBytes, "bytes")
	}
	p := &treeParser{}
	nodes, err := p.elements(der, 0, 0)
	if err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, badDER("input", "one element and nothing behind it")
	}
	if err := p.label(nodes[0]); err != nil {
		return nil, err
	}
	hideSecrets(nodes[0])
	return nodes[0], nil
}

// treeParser counts elements across the input and everything opened inside it.
type treeParser struct{ count int }

// elements reads all elements of body, which starts at offset of the input.
func (p *treeParser) elements(body []byte, offset, depth int) ([]*Node, error) {
	if depth > maxTreeDepth {
		return nil, tooLarge("input", maxTreeDepth, "levels")
	}
	var nodes []*Node
	for rest := cryptobyte.String(body); !rest.Empty(); {
		var element, contents cryptobyte.String
		n := &Node{Offset: offset + len(body) - len(rest), depth: depth}
		if !rest.ReadAnyASN1Element(&element, &n.tag) {
			return nil, badDER("input", "elements with a definite, shortest length inside their parent")
		}
		if p.count++; p.count > maxTreeNodes {
			return nil, tooLarge("input", maxTreeNodes, "elements")
		}
		total := len(element)
		element.ReadAnyASN1(&contents, &n.tag)
		n.body, n.Length, n.HeaderLen = contents, len(contents), total-len(contents)
		n.nameTag()
		if n.constructed() {
			children, err := p.elements(n.body, n.Offset+n.HeaderLen, depth+1)
			if err != nil {
				return nil, err
			}
			n.Children = children
		} else {
			n.describe()
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// open reads what an OCTET STRING or BIT STRING holds, skip bytes into its
// contents, when that is DER; when it is not, the string stays as it is.
func (p *treeParser) open(n *Node, skip int) error {
	if n.constructed() || len(n.body) <= skip {
		return nil
	}
	before := p.count
	children, err := p.elements(n.body[skip:], n.Offset+n.HeaderLen+skip, n.depth+1)
	if errors.Is(err, ErrEncoding) {
		p.count = before
		return nil
	}
	if err == nil {
		n.Children, n.Value = children, ""
	}
	return err
}

func (n *Node) constructed() bool { return n.tag&0x20 != 0 }

func (n *Node) nameTag() {
	n.Class = [...]string{"universal", "application", "context", "private"}[n.tag>>6]
	number := n.tag & 0x1f
	switch {
	case n.tag>>6 != 0:
		n.Tag = fmt.Sprintf("[%d]", number)
	case universalNames[n.tag] != "":
		n.Tag = universalNames[n.tag]
	default:
		n.Tag = fmt.Sprintf("UNIVERSAL %d", number)
	}
}

// Text renders the tree one element a line: offset, header and contents length,
// the tag under its parent, then label, identifier and value.
func (n *Node) Text() string {
	var b strings.Builder
	n.write(&b, 0)
	return b.String()
}

func (n *Node) write(b *strings.Builder, level int) {
	fmt.Fprintf(b, "%6d %2d+%-5d %s%s", n.Offset, n.HeaderLen, n.Length, strings.Repeat("  ", level), n.Tag)
	if n.Class != "universal" && n.Class != "context" {
		b.WriteString(" " + n.Class)
	}
	for _, word := range []string{n.Label, n.OID, n.Name, n.Value} {
		if word != "" {
			b.WriteString(" " + word)
		}
	}
	b.WriteByte('\n')
	for _, child := range n.Children {
		child.write(b, level+1)
	}
}
