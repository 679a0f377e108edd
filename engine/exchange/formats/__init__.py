"""One module for each format: ``detect(source)`` says whether a file looks like it, ``read(source, options)`` yields
its Records in file order. Adding one: a module like these, and a line in ``engine.exchange.registry``."""
