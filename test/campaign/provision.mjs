/** `npm run campaign:provision -- --threads N --hosts M --seed S` */
import { play } from "./play.mjs";

await play("provision");
