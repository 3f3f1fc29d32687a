"""What a page of ours may do in a browser: show what it holds, and fetch nothing."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""Of every page, as its `Content-Security-Policy`."""
