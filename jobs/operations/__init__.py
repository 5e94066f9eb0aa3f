"""What those on call look at: what there is now (`snapshot`), what is wrong with it (`health`), what
has happened (`trends`) and why (`causes`), drawn (`charts`) and put together (`overview`)."""
