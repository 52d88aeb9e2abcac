"""Boards: synthesis and its reports, flashing, and the host's end of the link to a trainer on the FPGA."""
