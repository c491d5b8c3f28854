package console

import "html/template"

// shapes are the pictures of the menu and the buttons, drawn with strokes in a
// square of 24.
var shapes = map[string]string{
	"menu":        `<path d="M4 6h16M4 12h16M4 18h16"/>`,
	"close":       `<path d="M6 6l12 12M18 6L6 18"/>`,
	"seal":        `<path d="M12 3l2.4 1.8 3-.1.9 2.9 2.4 1.8-1 2.8 1 2.8-2.4 1.8-.9 2.9-3-.1L12 21.400l-2.400-1.800-3 .1-.9-2.900-2.400-1.800 1-2.800-1-2.800 2.400-1.800.9-2.900 3 .1z"/><path d="M8.500 12.200l2.400 2.400 4.600-4.800"/>`,
	"search":      `<circle cx="11" cy="11" r="6.500"/><path d="M16 16l4.500 4.500"/>`,
	"person":      `<circle cx="12" cy="8" r="4"/><path d="M4 20.500c1-4 4-6 8-6s7 2 8 6"/>`,
	"leave":       `<path d="M14 4H5v16h9M10 12h11M17.500 8.500L21 12l-3.500 3.500"/>`,
	"check":       `<path d="M5 12.500l4.500 4.500L19 7.500"/>`,
	"alert":       `<path d="M12 3.500L22 20.500H2z"/><path d="M12 10v4.500M12 17.200v.3"/>`,
	"terminal":    `<rect x="3" y="4.500" width="18" height="15" rx="2"/><path d="M7 9.500l3 2.500-3 2.500M12.500 15h4"/>`,
	"clock":       `<circle cx="12" cy="12" r="8.500"/><path d="M12 7v5l3.500 2"/>`,
	"certificate": `<rect x="3" y="4" width="18" height="13" rx="1.500"/><path d="M7 8.500h10M7 12h5"/><circle cx="16" cy="15.500" r="2.500"/><path d="M14.500 17.500V22l1.500-1 1.500 1v-4.500"/>`,
	"revoke":      `<circle cx="12" cy="12" r="8.500"/><path d="M6 6l12 12"/>`,
	"request":     `<path d="M4 13l2.500-8h11L20 13v6H4z"/><path d="M4 13h5l1.500 2.500h3L15 13h5"/>`,
	"pass":        `<path d="M3 7h18v3.500a1.500 1.500 0 000 3V17H3v-3.500a1.500 1.500 0 000-3z"/><path d="M14 7.500v2M14 11v2M14 14.500v2"/>`,
	"device":      `<rect x="3" y="4" width="18" height="12" rx="1.500"/><path d="M8.500 20.500h7M12 16v4.500"/>`,
	"group":       `<rect x="9" y="3" width="6" height="5" rx="1"/><rect x="3" y="16" width="6" height="5" rx="1"/><rect x="15" y="16" width="6" height="5" rx="1"/><path d="M12 8v4M6 16v-4h12v4"/>`,
	"directory":   `<rect x="4" y="3.500" width="16" height="17" rx="1.500"/><circle cx="12" cy="10" r="2.500"/><path d="M7.500 16.500c.7-2.300 2.500-3.300 4.500-3.300s3.800 1 4.500 3.300M2.500 8h3M2.500 12h3M2.500 16h3"/>`,
	"template":    `<path d="M5 3h10l4 4v14H5z"/><path d="M15 3v4h4M8.500 11h7M8.500 14.500h7M8.500 18h4"/>`,
	"endpoint":    `<circle cx="12" cy="12" r="2"/><path d="M7.500 7.500a6.500 6.500 0 000 9M16.500 7.500a6.500 6.500 0 010 9M4.700 4.700a10.400 10.400 0 000 14.600M19.300 4.700a10.400 10.400 0 010 14.600"/>`,
	"authority":   `<path d="M3 9.500L12 4l9 5.500zM5 20.500h14M6.500 10v8M12 10v8M17.500 10v8"/>`,
	"todo":        `<path d="M4 6.500l1.500 1.500L8.500 5M4 13l1.500 1.500 3-3M4 19.500L5.500 21l3-3M12 6.500h8M12 13h8M12 19.500h8"/>`,
	"import":      `<path d="M12 3v10M8 9.500l4 4 4-4"/><path d="M4 12v6.500a1.500 1.500 0 001.500 1.500h13a1.500 1.500 0 001.500-1.500V12"/>`,
	"difference":  `<path d="M4 8h10M4 12.500h10"/><path d="M13 4.500L8.500 17"/><circle cx="17" cy="16" r="3.500"/><path d="M19.700 18.700L22 21"/>`,
	"audit":       `<path d="M6 3h12v18l-3-2-3 2-3-2-3 2z"/><path d="M9 8h6M9 12h6"/>`,
	"token":       `<circle cx="8" cy="15.500" r="4.500"/><path d="M11.200 12.300L20 3.500M16 7.500l3 3M13.500 10l2 2"/>`,
	"status":      `<path d="M3 12h4l2.500-6.500 5 13L17 12h4"/>`,
	"add":         `<path d="M12 5v14M5 12h14"/>`,
	"download":    `<path d="M12 4v11M7.500 11L12 15.500 16.500 11M4.500 20h15"/>`,
	"key":         `<circle cx="8" cy="15.500" r="4.500"/><path d="M11.200 12.300L20 3.500M16 7.500l3 3"/>`,
}

func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">` + shapes[name] + `</svg>`)
}
