"""Running circuits and learners: the reference interpreter, and the fast engines that must give the same bits."""
