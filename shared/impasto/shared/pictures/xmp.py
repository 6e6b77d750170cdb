"""The XMP packet of a result: what kind of picture it is, for archives, agencies and search engines."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

DIGITAL_SOURCE_TYPE: Final = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's word for real media that were changed by means of a trained model.

Of its neighbours `algorithmicallyEnhanced` is for corrections that leave the picture what it was, and would
let every reader take a painting by a program for a photograph; `trainedAlgorithmicMedia` is for what a model
made from nothing, and would deny the photographer; `algorithmicMedia` is for what no training had a part in.
No generative model is used here, but the network that judges the picture is trained, and the stricter word
misleads nobody.
"""

_PACKET: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <Iptc4xmpExt:DigitalSourceType>{type}</Iptc4xmpExt:DigitalSourceType>{description}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""

_DESCRIPTION: Final = """
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>"""

_DESCRIPTION_LIMIT: Final = 4000


def packet(description: str | None = None) -> bytes:
    """The whole packet, UTF-8; the same for equal descriptions, which are cut at 4,000 characters."""
    told = ""
    if description is not None:
        # XML takes no control characters, not even escaped.
        text = "".join(c for c in description[:_DESCRIPTION_LIMIT] if c.isprintable() or c in "\t\n")
        told = _DESCRIPTION.format(text=escape(text))
    return _PACKET.format(type=DIGITAL_SOURCE_TYPE, description=told).encode()
