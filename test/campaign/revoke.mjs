/** `npm run campaign:revoke -- --count N --seed S [--seconds T] [--broken-cache]` */
import { play } from "./play.mjs";

await play("revoke", ["verifier", "link"]);
