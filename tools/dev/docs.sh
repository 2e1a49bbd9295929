# SPDX-License-Identifier: BSD-3-Clause
# The documentation as a site.

set_up_docs() {
  if [[ -z $(python) ]]; then
    command -v apt-get >/dev/null || die "install Python 3.10 or newer, with pip"
    apt_install python3-pip
  fi
  set_up_venv docs 140 docs/requirements.txt
}

# The documentation, in build/docs.
dev_docs() {
  set_up set_up_docs
  quietly docs "$deps/docs/bin/python" tools/api.py || failed docs "the headers' comments: see tools/api.py"
  say "$(tail -n 1 "$log/docs.log") (.deps/log/docs.log lists them)"
  NO_MKDOCS_2_WARNING=1 "$deps/docs/bin/mkdocs" build || die "the site could not be built: see above"
  say "the site: build/docs/index.html"
}
