export default {
  base: "./",
  optimizeDeps: { exclude: ["octavo"] },
};
