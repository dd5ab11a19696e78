"""The viewer: a server that cuts tiles from what results hold, and the page that shows them.

opened.py    sections in the folders that were opened, each with the version that its manifest states
pyramid.py   chunks of zarr decoded once and kept, up to a bound in bytes
spots.py     spots, their domains and counts; which spot lies under each pixel
layers.py    what can be laid on the picture, each drawn as tiles in colours
answers.py   what the page asks of a place, a gene or a section
security.py  who may ask: token, cookie, Host and Origin
server.py    addresses and threads
static/      the page: plain modules, and OpenSeadragon with its licence
"""
