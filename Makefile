# The targets of dev.py, for fingers that type `make`.
.PHONY: setup demo test lint docs bench
setup demo test lint docs bench:
	python3 dev.py $@
