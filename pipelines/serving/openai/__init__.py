"""OpenAI's image routes, for the clients that people have; the pictures are those of `POST /v1/images`."""
