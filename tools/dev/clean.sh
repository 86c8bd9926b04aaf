# clean: remove the build folders
#
# The arm64 build root (./build-arm64-root) is kept unless --all is given: it takes minutes to make.

case ${1:-} in
  '') keep=build-arm64-root ;;
  --all) keep= ;;
  *) die_usage "clean: no option '$1'" ;;
esac
for dir in build build-*; do
  [ -d "$dir" ] && [ "$dir" != "$keep" ] || continue
  say "removing $dir"
  rm -rf -- "$dir"
done
