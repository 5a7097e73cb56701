"""A local page that runs a bundle in the browser with LiteRT.js: proof that its files run outside Python."""
