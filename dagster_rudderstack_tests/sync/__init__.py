"""One sync while requests fail: a real server on this machine, and a clock that tests advance."""
