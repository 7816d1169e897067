/** `npm run campaign:append -- --kills N --writers W --storm SECONDS --seed S` */
import { play } from "./play.mjs";

await play("append", ["writer"]);
