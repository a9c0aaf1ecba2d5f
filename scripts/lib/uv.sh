# Sourced from the project's directory: puts uv on PATH, where workers find it. Got by pip into .cache/uv where this machine has none,
# and not for the whole machine. Returns 1 if it cannot be had.
uv_place=.cache/uv
if ! command -v uv >/dev/null && ! python3 -c 'import uv' 2>/dev/null; then
  if [ ! -x "$uv_place/bin/uv" ]; then
    echo "getting uv, by pip, into $uv_place"
    rm -rf "$uv_place"
    python3 -m pip install --quiet --disable-pip-version-check --target "$uv_place" 'uv==0.13.9' || return 1
  fi
  export PATH="$PWD/$uv_place/bin:$PATH"
fi
