/** What every sandbox's code finds in its environment; its own goes over it. */
export const BASE_ENVIRONMENT: Readonly<Record<string, string>> = {
  HOME: "/host",
  LANG: "C.UTF-8",
  LOGNAME: "sandbox",
  PATH: "/usr/local/bin:/usr/bin:/bin",
  PYTHONDONTWRITEBYTECODE: "1",
  TMPDIR: "/tmp",
  USER: "sandbox",
};
