// A warning (leaked listeners, deprecations) fails the run, as an unhandled error does.
process.on('warning', (warning) => {
  throw warning;
});
