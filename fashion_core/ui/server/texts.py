"""What the server answers to requests that it refuses."""

# Addresses
CLOSED = "No page needs this address of Streamlit, so it is closed."
UNKNOWN_HOST = (
    "This server does not answer to the name {hosts}: open {address} on its machine, or set FASHION_HOSTS to the names "
    'under which people reach it; see "Share it" in the README.'
)
OTHER_ORIGIN = (
    "A page of {origins} may not use this server, which was asked for as {hosts}: open the page at the server's own "
    "address, or set FASHION_HOSTS to the name of the proxy through which people reach it; see "
    '"Share it" in the README.'
)

# Uploads
NO_OPEN_PAGE = "Only a page of this server that is open may upload: reload it, log in if it asks, and try again."
TOO_LARGE = "The file is too large: you may upload files of at most {most} MB here."
TOO_MUCH = "All uploads together may take no more of the server's memory: remove some, or try again later."
