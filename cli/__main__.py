"""``python -m rdahw.cli``."""

from rdahw.cli import main

if __name__ == "__main__":
    main()
