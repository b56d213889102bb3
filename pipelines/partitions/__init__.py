"""Work on very many data in parts: where a source is cut, what is finished and kept, and where the parts are done."""
