"""The answer to a browser that asked for an image: the smallest one there is, never from a cache."""

from serving.collect.draft import Answer

PIXEL = Answer(
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    "image/gif",
    headers=(("Cache-Control", "no-cache, no-store, must-revalidate"),),
)
