package server

import (
	"path/filepath"
	"strings"
)

// unknownType is for files that no extension tells about: bytes, which no browser renders.
const unknownType = "application/octet-stream"

// mediaType returns the Content-Type for a file of that name. The table is all that counts,
// so the answer is the same on each machine. Text is taken to be in UTF-8.
func mediaType(name string) string {
	kind, ok := mediaTypes[strings.ToLower(strings.TrimPrefix(filepath.Ext(name), "."))]
	switch {
	case !ok:
		return unknownType
	case strings.HasPrefix(kind, "text/"):
		return kind + "; charset=utf-8"
	}
	return kind
}

// mediaTypes by the last extension of a file, in lower case (IANA's registry of media types).
var mediaTypes = map[string]string{
	"atom":        "application/atom+xml",
	"gz":          "application/gzip",
	"jar":         "application/java-archive",
	"json":        "application/json",
	"jsonld":      "application/ld+json",
	"webmanifest": "application/manifest+json",
	"map":         "application/json",
	"doc":         "application/msword",
	"bin":         "application/octet-stream",
	"exe":         "application/octet-stream",
	"dmg":         "application/octet-stream",
	"iso":         "application/octet-stream",
	"msi":         "application/octet-stream",
	"pdf":         "application/pdf",
	"eps":         "application/postscript",
	"ps":          "application/postscript",
	"rss":         "application/rss+xml",
	"rtf":         "application/rtf",
	"torrent":     "application/x-bittorrent",
	"7z":          "application/x-7z-compressed",
	"bz2":         "application/x-bzip2",
	"deb":         "application/vnd.debian.binary-package",
	"eot":         "application/vnd.ms-fontobject",
	"m3u8":        "application/vnd.apple.mpegurl",
	"xls":         "application/vnd.ms-excel",
	"ppt":         "application/vnd.ms-powerpoint",
	"odp":         "application/vnd.oasis.opendocument.presentation",
	"ods":         "application/vnd.oasis.opendocument.spreadsheet",
	"odt":         "application/vnd.oasis.opendocument.text",
	"pptx":        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"xlsx":        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"docx":        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"rar":         "application/vnd.rar",
	"wasm":        "application/wasm",
	"rpm":         "application/x-rpm",
	"tar":         "application/x-tar",
	"xz":          "application/x-xz",
	"xhtml":       "application/xhtml+xml",
	"epub":        "application/epub+zip",
	"xml":         "application/xml", // says itself how it is encoded
	"xsl":         "application/xml",
	"zip":         "application/zip",
	"zst":         "application/zstd",
	"aac":         "audio/aac",
	"flac":        "audio/flac",
	"mid":         "audio/midi",
	"midi":        "audio/midi",
	"m4a":         "audio/mp4",
	"mp3":         "audio/mpeg",
	"oga":         "audio/ogg",
	"ogg":         "audio/ogg",
	"opus":        "audio/ogg",
	"wav":         "audio/wav",
	"weba":        "audio/webm",
	"otf":         "font/otf",
	"ttf":         "font/ttf",
	"woff":        "font/woff",
	"woff2":       "font/woff2",
	"apng":        "image/apng",
	"avif":        "image/avif",
	"bmp":         "image/bmp",
	"gif":         "image/gif",
	"heic":        "image/heic",
	"jpeg":        "image/jpeg",
	"jpg":         "image/jpeg",
	"jxl":         "image/jxl",
	"png":         "image/png",
	"svg":         "image/svg+xml",
	"tif":         "image/tiff",
	"tiff":        "image/tiff",
	"ico":         "image/vnd.microsoft.icon",
	"webp":        "image/webp",
	"eml":         "message/rfc822",
	"ics":         "text/calendar",
	"css":         "text/css",
	"csv":         "text/csv",
	"htm":         "text/html",
	"html":        "text/html",
	"js":          "text/javascript",
	"mjs":         "text/javascript",
	"md":          "text/markdown",
	"log":         "text/plain",
	"txt":         "text/plain",
	"vcf":         "text/vcard",
	"vtt":         "text/vtt",
	"ts":          "video/mp2t",
	"m4v":         "video/mp4",
	"mp4":         "video/mp4",
	"mpeg":        "video/mpeg",
	"mpg":         "video/mpeg",
	"ogv":         "video/ogg",
	"mov":         "video/quicktime",
	"webm":        "video/webm",
	"avi":         "video/x-msvideo",
	"mkv":         "video/x-matroska",
}
