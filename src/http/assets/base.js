// Where the node is: a proxy may have put it under a path, which then stands before each of its addresses. The address of this file says so.

/** That path: empty, or such as `/shop`. */
export const base = new URL("..", import.meta.url).pathname.slice(0, -1);

/** An address of the node, as a browser asks for it. */
export const at = (path) => (path.startsWith("/") ? base + path : path);
