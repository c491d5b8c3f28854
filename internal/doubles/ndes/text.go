package ndes

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// Language is that of the server's Windows.
type Language string

// The languages.
const (
	English  Language = "en"
	German   Language = "de"
	French   Language = "fr"
	Japanese Language = "ja"
)

// text is what the pages say in a language.
type text struct {
	title, intro, thumbprint, password string
	expires                            string // with the minutes
	forEver, full, denied, noTemplate  string
	help                               string
}

// texts has the words that clients look for where they are known, and ours
// elsewhere. The languages but English are there for their letters and their
// order, not for their words, which nobody may rely on.
var texts = map[Language]text{
	English: {
		title:      "Network Device Enrollment Service",
		intro:      "With what follows a network device can enroll for a certificate by SCEP.",
		thumbprint: "The thumbprint (hash value) for the CA certificate is:",
		password:   "The enrollment challenge password is:",
		expires:    "It can be used once and will expire within %d minutes.",
		forEver:    "It can be used by every device and will not expire.",
		full:       "The password cache is full. Use a challenge password that was made before, or wait until one expires.",
		denied:     "You do not have sufficient permission to enroll with SCEP. Ask your administrator.",
		noTemplate: "The certificate template for SCEP is not set on this server.",
		help:       "This address is for network devices that enroll by SCEP. A person has nothing to do here.",
	},
	German: {
		title:      "Registrierungsdienst für Netzwerkgeräte",
		intro:      "Mit den folgenden Angaben kann ein Netzwerkgerät über SCEP ein Zertifikat erhalten.",
		thumbprint: "Der Fingerabdruck (Hashwert) für das Zertifizierungsstellenzertifikat lautet:",
		password:   "Das Kennwort für die Registrierungsabfrage lautet:",
		expires:    "Es gilt für ein Gerät und läuft in %d Minuten ab.",
		forEver:    "Es gilt für alle Geräte und läuft nicht ab.",
		full:       "Der Kennwortcache ist voll.",
		denied:     "Ihre Berechtigungen genügen nicht für eine Registrierung über SCEP.",
		noTemplate: "Für SCEP ist keine Zertifikatvorlage gewählt.",
		help:       "Diese Adresse ist für Netzwerkgeräte, die sich über SCEP registrieren.",
	},
	French: {
		title:      "Service d'inscription de périphériques réseau",
		intro:      "Ces données permettent à un périphérique d'obtenir un certificat par SCEP.",
		thumbprint: "L'empreinte numérique du certificat de l'autorité de certification est :",
		password:   "Le mot de passe de la demande d'inscription est :",
		expires:    "Il sert une seule fois et expire au bout de %d minutes.",
		forEver:    "Il sert à tous les périphériques et n'expire pas.",
		full:       "Le cache des mots de passe est plein.",
		denied:     "Vos droits ne suffisent pas pour une inscription par SCEP.",
		noTemplate: "Aucun modèle de certificat n'est choisi pour SCEP.",
		help:       "Cette adresse est réservée aux périphériques qui s'inscrivent par SCEP.",
	},
	Japanese: {
		title:      "ネットワーク デバイス登録サービス",
		intro:      "次の情報を使うと、ネットワーク デバイスは SCEP で証明書を取得できます。",
		thumbprint: "CA 証明書の拇印 (ハッシュ値):",
		password:   "登録チャレンジ パスワード:",
		expires:    "このパスワードは 1 回だけ使用でき、%d 分以内に期限が切れます。",
		forEver:    "このパスワードはすべてのデバイスで使用でき、期限はありません。",
		full:       "パスワード キャッシュがいっぱいです。",
		denied:     "SCEP で登録するためのアクセス許可が足りません。",
		noTemplate: "SCEP の証明書テンプレートが設定されていません。",
		help:       "このアドレスは SCEP で登録するデバイスのためのものです。",
	},
}

// Charset is how the pages are sent.
type Charset string

// The charsets: UTF16LE is Windows, the others are its emulations and proxies
// that convert.
const (
	UTF16LE     Charset = "utf-16le"
	UTF16BE     Charset = "utf-16be"
	UTF8        Charset = "utf-8"
	Windows1252 Charset = "windows-1252"
)

// encode writes a page. What windows-1252 shares not with Latin-1 is written as
// a character reference.
func (c Charset) encode(page string, bom bool) ([]byte, error) {
	var b []byte
	switch c {
	case UTF16LE, UTF16BE:
		order := binary.AppendByteOrder(binary.LittleEndian)
		if c == UTF16BE {
			order = binary.BigEndian
		}
		if bom {
			page = "\ufeff" + page
		}
		for _, u := range utf16.Encode([]rune(page)) {
			b = order.AppendUint16(b, u)
		}
	case UTF8:
		if bom {
			page = "\ufeff" + page
		}
		b = []byte(page)
	case Windows1252:
		for _, r := range page {
			if r < 0x80 || r >= 0xa0 && r < 0x100 {
				b = append(b, byte(r))
			} else {
				b = fmt.Appendf(b, "&#%d;", r)
			}
		}
	default:
		return nil, fmt.Errorf("ndes: no charset %q", c)
	}
	return b, nil
}
