"""Pages of HTML that need nothing but a browser: `page` has an example."""
