"""The viewer: a server that cuts tiles from what results hold, and the page that shows them.

What each file does: `opened` finds sections in folders and knows each by the version of its result; `pyramid` decodes
chunks once and keeps them, up to a bound in bytes; `spots` says which spot lies under each pixel; `genes` reads counts
of one gene; `tiles` and `colours` turn places to squares and numbers to colours; `layers` draws what can be laid on the
picture; `answers` tells what the page asks of a place, a gene or a section; `security` says who may ask; `server` has
the addresses and threads. The page, and OpenSeadragon with its licence, lie in `static/`.
"""
