/** `npm run campaign:forgery -- --count N --seed S [--verifier gullible|surly]` */
import { play } from "./play.mjs";

await play("forgery");
