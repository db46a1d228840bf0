"""The package, the image and the proxy, as docs/deploy.md has them."""
