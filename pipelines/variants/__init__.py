"""A bundle's network in other precisions: made, compared, judged and timed, each a bundle of its own."""
