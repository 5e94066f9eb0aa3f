"""Texts that try to be more than text, and what a page may hold whatever it is given."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

from jobs.rendering import sanitizer

XSS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=`x` onerror=`alert(1)`>",
    '<img """><script>alert(1)</script>">',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext></p><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<form action=javascript:alert(1)><button>go</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<body onload=alert(1)>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content=0;url=javascript:alert(1)>",
    "<style>@import '//evil.example/x.css';</style>",
    "<p style=background:url(javascript:alert(1))>x</p>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<textarea></textarea><script>alert(1)</script>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "</div></section></main><script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    '" onmouseover="alert(1)" x="',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml;base64,PHN2Zy8+)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](/jobs/J-1234567/cancel/)",
    "[x](\\\\evil.example)",
    "[x](https:evil.example)",
    "[x](https:/\\evil.example)",
    "[x](https://good.example@evil.example/)",
    "[x](https://good.example\\@evil.example/)",
    "[x](https://evil.example\u202e/moc)",
    "[x](blob:https://good.example/1)",
    "[x](ftp://evil.example)",
    "[x](filesystem:https://evil.example/a)",
    "[x](https://a.example 'title\" onclick=\"alert(1)')",
    '[x](https://a.example/"onclick="alert(1))',
    "[x](https://a.example/'onclick='alert(1))",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    '![x" onerror="alert(1)](https://evil.example/pixel.png)',
    "![x](data:image/png;base64,AAAA)",
    "![[x](javascript:alert(1))](https://evil.example)",
    "[![x](https://evil.example/p.png)](javascript:alert(1))",
    "<javascript:alert(1)>",
    '<https://evil.example/"onmouseover=alert(1)>',
    "[x]: javascript:alert(1)\n\n[x]",
    "[x][y]\n\n[y]: <javascript:alert(1)> 'z'",
    '```"><script>alert(1)</script>\nx\n```',
    "```html\n<script>alert(1)</script>\n```",
    "`<script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "| <script>alert(1)</script> | b |\n|---|---|\n| <img src=x onerror=alert(1)> | [x](javascript:alert(1)) |",
    "# <script>alert(1)</script>",
    '# "><img src=x onerror=alert(1)>',
    "> <script>alert(1)</script>",
    "*<script>*alert(1)*</script>*",
    "[x](#quote)",
    '[x](#"><script>alert(1)</script>)',
    "{{ 7|add:7 }}{% csrf_token %}",
    "⟦1⟧⁅1⁆⦗1⦘⸨1⸩❲1❳",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\u202ealert(1)\u2066<script>",
    "<\u200bscript>alert(1)</\u200bscript>",
    "<a href=https://a.example target=_top onclick=alert(1)>x</a>",
]

NEVER_CLOSED = {"br", "hr"}


class Markup(HTMLParser):
    """The tags, attributes and text of some HTML. Fails at once at what may never be there."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.said, self.links, self.ids, self.tags, self.open = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    @property
    def text(self):
        return "".join(self.said)

    def handle_starttag(self, tag, attrs):
        assert tag in sanitizer.TAGS, tag
        names = [name for name, _value in attrs]
        assert len(names) == len(set(names)), names
        for name, value in attrs:
            allowed = sanitizer.ATTRIBUTES.get(tag, set()) | sanitizer.ATTRIBUTES["*"] | {"class"}
            assert name in allowed, (tag, name, value)
            assert not name.startswith("on")
            assert name != "style"
            if name == "class":
                assert set(value.split()) <= sanitizer._classes()[tag], (tag, value)
            if name == "id":
                assert value.startswith("r1-")
                self.ids.append(value)
            if name == "href":
                self.links.append(value)
                self._check_link(value, dict(attrs))
        self.tags.append(tag)
        if tag not in NEVER_CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    def handle_decl(self, decl):
        raise AssertionError(decl)

    def handle_pi(self, data):
        raise AssertionError(data)

    def unknown_decl(self, data):
        raise AssertionError(data)

    def _check_link(self, href, attrs):
        if href.startswith(("#r1-", "/jobs/J-")):
            return
        parts = urlsplit(href)
        assert parts.scheme in ("http", "https", "mailto"), href
        assert parts.scheme == "mailto" or parts.hostname, href
        assert "@" not in parts.netloc
        assert attrs["class"] == "external"
        assert attrs["target"] == "_blank"
        assert attrs["rel"] == "noopener noreferrer nofollow ugc"


def markup(html):
    """The HTML read, and found to hold nothing but what the sanitizer lets through."""
    return Markup(str(html))
